// The other side of a differential test: reads cases as JSON lines, answers each with one line.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const octokit = await import(pathToFileURL(`${folder}/@octokit/webhooks-methods/dist-node/index.js`));
const { Webhook } = createRequire(`${folder}/`)("standardwebhooks");

const answers = {
  "octokit sign": ({ secret, body }) => octokit.sign(secret, body),
  "octokit verify": ({ secrets: [first, ...others], body, signature }) =>
    octokit.verifyWithFallback(first, body, signature, others),
  "standard sign": ({ secret, id, seconds, body }) => new Webhook(secret).sign(id, new Date(seconds * 1000), body),
  "standard verify": ({ secret, headers, body }) => {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = await answers[ask](given);
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
