# SPDX-License-Identifier: Apache-2.0
"""The program of test_wallet.py that runs in the enclave: wallet.py METADATA-ADDRESS KMS-URL CA COUNT

Fetches credentials from the metadata service (version 2: a token first), then makes COUNT signed
calls to the key service, all at once, each on a connection of its own, and prints what came back.
"""
import concurrent.futures
import hashlib
import hmac
import json
import ssl
import sys
import threading
import urllib.request

METADATA, KMS, AUTHORITY, COUNT = sys.argv[1:]
PATIENCE = 120


def metadata(method, path, **headers):
    request = urllib.request.Request(f"http://{METADATA}/latest/{path}", method=method,
                                     headers={key.replace("_", "-"): value
                                              for key, value in headers.items()})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.read().decode()


def credentials():
    token = metadata("PUT", "api/token", X_aws_ec2_metadata_token_ttl_seconds="60")
    base = "meta-data/iam/security-credentials/"
    role = metadata("GET", base, X_aws_ec2_metadata_token=token)
    return json.loads(metadata("GET", base + role, X_aws_ec2_metadata_token=token))


def decrypt(number):
    body = json.dumps({"CiphertextBlob": f"sealed {number}"}).encode()
    signature = hmac.new(found["SecretAccessKey"].encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(KMS, data=body, headers={
        "X-Access-Key": found["AccessKeyId"], "X-Signature": signature})
    together.wait(PATIENCE)
    with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:
        return json.load(response)["Plaintext"]


found = credentials()
context = ssl.create_default_context(cafile=AUTHORITY)
together = threading.Barrier(int(COUNT))
with concurrent.futures.ThreadPoolExecutor(int(COUNT)) as pool:
    print(json.dumps(list(pool.map(decrypt, range(int(COUNT))))))
