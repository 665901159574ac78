#!/bin/sh
# Prepares AI-Toolkit's volume, then becomes its user interface (port 8675, fixed upstream).
set -eu

mkdir -p /data/data /data/datasets /data/models /data/output

# Upstream makes the tables while it builds the image, and nowhere else. This makes them in the
# volume's database, adds what a newer version brings, and refuses what would lose data.
[ -e /data/aitk_db.db ] || : > /data/aitk_db.db
./node_modules/.bin/prisma db push --skip-generate

export-artefacts /data/output /outputs &
# The program reads its password from this variable alone. Here, only its own processes have it.
if [ -e /run/secrets/ai_toolkit_auth ]; then
    AI_TOOLKIT_AUTH=$(cat /run/secrets/ai_toolkit_auth)
    export AI_TOOLKIT_AUTH
fi
exec npm run start
