// Node's own fetch, which always sends Sec-Fetch-Mode, as scripts use it against instance metadata.
import { fromDocument, printCaller } from "./sts.mjs";

const base = process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT ?? "http://169.254.169.254/";

async function ask(path, options) {
  const response = await fetch(new URL(path, base), options);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text;
}

const seconds = { "X-aws-ec2-metadata-token-ttl-seconds": "60" };
const token = await ask("/latest/api/token", { method: "PUT", headers: seconds });
const headers = { "X-aws-ec2-metadata-token": token };
const list = "/latest/meta-data/iam/security-credentials/";
const role = await ask(list, { headers });
await printCaller(fromDocument(await ask(list + role, { headers })));
