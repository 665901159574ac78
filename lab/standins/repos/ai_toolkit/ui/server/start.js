// Stand-in for AI-Toolkit's user interface: port 8675, the database's tables, the API's token.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const PORT = 8675; // fixed upstream too
const ui = path.dirname(__dirname);
const root = path.dirname(ui);

if (!fs.existsSync(path.join(ui, '.next', 'BUILD_ID'))) {
  console.error("Error: Could not find a production build in the '.next' directory. Try building your app with 'next build'.");
  process.exit(1);
}
const { PrismaClient } = require('@prisma/client');
const database = new PrismaClient();

function gpu() {
  try {
    const text = execFileSync('nvidia-smi', ['--query-gpu=name', '--format=csv,noheader'], { encoding: 'utf8' });
    return { hasNvidiaSmi: true, gpus: text.trim().split('\n').map((name, index) => ({ index, name })) };
  } catch (error) {
    return { hasNvidiaSmi: false, gpus: [], error: String(error.message) };
  }
}

function settings() {
  const stored = Object.fromEntries(database.rows('Settings').map((row) => [row.key, row.value]));
  return {
    TRAINING_FOLDER: stored.TRAINING_FOLDER || path.join(root, 'output'),
    DATASETS_FOLDER: stored.DATASETS_FOLDER || path.join(root, 'datasets'),
    DATA_ROOT: stored.DATA_ROOT || path.join(root, 'data'),
    MODELS_PATH: process.env.MODELS_PATH || stored.MODELS_PATH || path.join(root, 'models'),
    HF_TOKEN: stored.HF_TOKEN || '',
  };
}

function save(values) {
  for (const [key, value] of Object.entries(values)) database.put(key, String(value));
  return { success: true };
}

// The files that a training leaves behind; an extra of the stand-in.
function train(name) {
  const folder = path.join(settings().TRAINING_FOLDER, name);
  fs.mkdirSync(path.join(folder, 'samples'), { recursive: true });
  fs.writeFileSync(path.join(folder, `${name}.safetensors`), 'placeholder of the lab\n');
  fs.writeFileSync(path.join(folder, 'config.yaml'), 'job: extension\n');
  return { folder };
}

function answer(request, url, body) {
  const key = `${request.method} ${url.pathname}`;
  if (key === 'GET /') {
    database.rows('Settings');
    return '<!doctype html><title>AI Toolkit</title><h1>AI Toolkit</h1><p>Lab stand-in.</p>\n';
  }
  if (key === 'GET /api/gpu') return gpu();
  if (key === 'GET /api/settings') return settings();
  if (key === 'POST /api/settings') return save(JSON.parse(body || '{}'));
  if (key === 'GET /api/jobs') return { jobs: database.rows('Job') };
  if (key === 'GET /api/datasets/list') return fs.readdirSync(settings().DATASETS_FOLDER);
  if (key === 'POST /standin/train') return train(url.searchParams.get('name') || 'lora');
  return undefined;
}

function allowed(request, url) {
  const token = process.env.AI_TOOLKIT_AUTH;
  const open = !url.pathname.startsWith('/api/') || /^\/api\/(img|files)\//.test(url.pathname);
  return !token || open || request.headers.authorization === `Bearer ${token}`;
}

function reply(response, status, content) {
  const html = typeof content === 'string';
  response.writeHead(status, { 'Content-Type': html ? 'text/html' : 'application/json' });
  response.end(html ? content : JSON.stringify(content));
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  console.log(`${request.method} ${url.pathname}`);
  let body = '';
  request.on('data', (block) => { body += block; });
  request.on('end', () => {
    if (!allowed(request, url)) return reply(response, 401, { error: 'Unauthorized' });
    try {
      const content = answer(request, url, body);
      return content === undefined ? reply(response, 404, { error: 'Not found' }) : reply(response, 200, content);
    } catch (error) {
      console.error(error.message);
      return reply(response, 500, { error: error.message });
    }
  });
});
server.listen(PORT, '0.0.0.0', () => console.log(`AI Toolkit (stand-in) on port ${PORT}`));
process.on('SIGTERM', () => process.exit(0));
