// Asks STS who somebody is.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

/** Print the ARN of whom the credentials belong to; without any, of whom the SDK finds by itself. */
export async function printCaller(credentials) {
  const answer = await new STSClient(credentials ? { credentials } : {}).send(new GetCallerIdentityCommand({}));
  console.log(answer.Arn);
}

/** Turn an instance metadata document into what the SDK takes. */
export function fromDocument(text) {
  const document = JSON.parse(text);
  return {
    accessKeyId: document.AccessKeyId,
    secretAccessKey: document.SecretAccessKey,
    sessionToken: document.Token,
    expiration: new Date(document.Expiration),
  };
}
