// AWS SDK for JavaScript v3 with the credential provider that the argument names, without one with its own chain.
import * as providers from "@aws-sdk/credential-providers";
import { printCaller } from "./sts.mjs";

const name = process.argv[2];
await printCaller(name ? providers[name]() : undefined);
