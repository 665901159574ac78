// Creates Dockge's account before Dockge answers anyone: its set-up page makes the first visitor the
// administrator. Does nothing if there is an account.
//
// Like Dockge's own extra/reset-password.ts, which lies in the same folder, this calls the code of
// Dockge: it creates the tables and hashes the password. If a version lacks that code, this fails,
// and Dockge is not started.
import { readFileSync } from "node:fs";
import { R } from "redbean-node";
import { Database } from "../backend/database";
import { DockgeServer } from "../backend/dockge-server";
import { generatePasswordHash } from "../backend/password-hash";

try {
    await Database.init(new DockgeServer());
    const { count } = await R.knex("user").count("id as count").first();
    if (count === 0) {
        const password = readFileSync("/run/secrets/dockge_password", "utf-8");
        if (!password) {
            throw new Error("/run/secrets/dockge_password is empty");
        }
        const user = R.dispense("user");
        user.username = process.env.FIRST_ACCOUNT;
        user.password = generatePasswordHash(password);
        await R.store(user);
        console.log(`Created the account ${process.env.FIRST_ACCOUNT}.`);
    }
    await Database.close();
} catch (error) {
    // DockgeServer listens for errors that nobody catches, so they would not end this program.
    console.error("Dockge's first account could not be created:", error);
    process.exit(1);
}
process.exit(0);
