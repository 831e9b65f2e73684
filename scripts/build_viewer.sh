#!/usr/bin/env bash
# Build the notebooks' viewer from its source and the pinned npm packages, with the notices of their licenses.
set -eu
cd "$(dirname "$0")/../fctl_napari/notebook/frontend"
npm ci --no-audit --no-fund --silent
mkdir -p ../static
npx esbuild viewer.js --bundle --format=esm --minify --legal-comments=none --outfile=../static/viewer.js
{
  echo "viewer.js contains the following packages."
  node -e '
    for (const name of Object.keys(require("./package.json").dependencies)) {
      const folder = `node_modules/${name}`;
      const { version, license } = require(`./${folder}/package.json`);
      const fs = require("fs");
      const file = fs.readdirSync(folder).find((each) => /^licen[sc]e/i.test(each));
      console.log(`\n${name} ${version} (${license})\n\n${fs.readFileSync(`${folder}/${file}`, "utf8").trim()}`);
    }'
} >../static/viewer.js.LICENSE.txt
