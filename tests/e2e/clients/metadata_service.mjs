// The MetadataService of AWS SDK for JavaScript v3.
import { MetadataService } from "@aws-sdk/ec2-metadata-service";
import { fromDocument, printCaller } from "./sts.mjs";

const path = "/latest/meta-data/iam/security-credentials/";
const service = new MetadataService({});
const role = await service.request(path, {});
await printCaller(fromDocument(await service.request(path + role, {})));
