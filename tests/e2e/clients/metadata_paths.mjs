// The MetadataService of AWS SDK for JavaScript v3: some paths, with a session token and (the first argument) without.
import { MetadataService } from "@aws-sdk/ec2-metadata-service";

const [version, ...paths] = process.argv.slice(2);
const service = new MetadataService({ disableFetchToken: version === "v1" });
const texts = {};
for (const path of paths) texts[path] = await service.request(path, {});
console.log(JSON.stringify(texts));
