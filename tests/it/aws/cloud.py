"""The cloud that the tests deliver to, on this machine alone: MiniStack (S3, STS and IAM that check signatures and policies), and beside it
what stands in for Security Lake's API, of which no emulator exists; where it is asked for, moto's CloudWatch Logs, which keeps the rules of
PutLogEvents, and a Firehose that refuses some records of each batch, as no emulator does.

Reads one request a line from standard input, each a JSON object with a key `do`, and answers each with a line; the first line says where
everything is. Ends with its standard input.
"""

import base64
import datetime
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import duckdb
from botocore.config import Config

ACCOUNT = "000000000000"
ADMIN = ("test", "test")
FOLDER = tempfile.mkdtemp(prefix="flowlake-cloud-")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
URL = f"http://127.0.0.1:{PORT}"


def client(service, url=None):
    retries = Config(retries={"total_max_attempts": 4}, s3={"addressing_style": "path"})
    key, secret = ADMIN
    return boto3.client(service, endpoint_url=url or URL, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret, config=retries)


class SecurityLake(BaseHTTPRequestHandler):
    """The part of the API that flowlake uses, with the limits of its model and of the user guide. One source a page: lists go on."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    lakes = {}  # region -> bucket
    sources = {}  # region -> list of sources
    native = set()  # regions where VPC flow logs are collected

    def log_message(self, *_):
        pass

    def answer(self, status, content, error=None):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, error, message):
        self.answer(status, {"message": message}, error)

    def region(self):
        scope = re.search(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/securitylake/aws4_request", self.headers.get("Authorization", ""))
        return scope and scope.group(1)

    def do_GET(self):
        with self.lock:
            region = self.region()
            if region is None:
                return self.refuse(403, "AccessDeniedException", "not signed for securitylake")
            if not self.path.startswith("/v1/datalakes"):
                return self.refuse(404, "ResourceNotFoundException", self.path)
            if region not in self.lakes:
                return self.answer(200, {"dataLakes": []})
            lakes = [
                {
                    "dataLakeArn": f"arn:aws:securitylake:{region}:{ACCOUNT}:data-lake/default",
                    "region": region,
                    "s3BucketArn": f"arn:aws:s3:::{self.lakes[region]}",
                    "createStatus": "COMPLETED",
                    "encryptionConfiguration": {"kmsKeyId": "S3_MANAGED_KEY"},
                }
            ]
            self.answer(200, {"dataLakes": lakes})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        with self.lock:
            region = self.region()
            if region is None:
                return self.refuse(403, "AccessDeniedException", "not signed for securitylake")
            if self.path == "/v1/datalake/logsources/list":
                return self.list(region, body)
            if self.path == "/v1/datalake/logsources/custom":
                return self.create(region, body)
            self.refuse(404, "ResourceNotFoundException", self.path)

    def list(self, region, body):
        own = [{"customLogSource": source} for source in self.sources.get(region, [])]
        if region in self.native:
            own.insert(0, {"awsLogSource": {"sourceName": "VPC_FLOW", "sourceVersion": "2.0"}})
        page = int(body.get("nextToken") or 0)
        answer = {"sources": [{"account": ACCOUNT, "region": region, "sources": own[page : page + 1]}]}
        if page + 1 < len(own):
            answer["nextToken"] = str(page + 1)
        self.answer(200, answer)

    def create(self, region, body):
        name = body.get("sourceName", "")
        configuration = body.get("configuration", {})
        identity = configuration.get("providerIdentity", {})
        role = configuration.get("crawlerConfiguration", {}).get("roleArn", "")
        principal, external_id = identity.get("principal", ""), identity.get("externalId", "")
        if region not in self.lakes:
            return self.refuse(404, "ResourceNotFoundException", "Security Lake is not enabled")
        for is_so, what in [
            (re.fullmatch(r"[\w\-_:.]{1,20}", name), "sourceName"),
            (re.fullmatch(r"\d{12}|[\w.-]+\.amazon(aws)?\.com", principal), "principal"),
            (re.fullmatch(r"[\w+=,.@:\/-]{2,1224}", external_id), "externalId"),
            (re.fullmatch(r"arn:.*", role), "crawlerConfiguration.roleArn"),
            (body.get("eventClasses") == ["NETWORK_ACTIVITY"], "eventClasses"),
            (set(body) <= {"sourceName", "sourceVersion", "eventClasses", "configuration"}, "other keys"),
        ]:
            if not is_so:
                return self.refuse(400, "BadRequestException", f"1 validation error: {what}")
        there = self.sources.setdefault(region, [])
        if any(source["sourceName"] == name for source in there):
            return self.refuse(409, "ConflictException", "the source exists")
        iam = client("iam")
        try:
            iam.get_role(RoleName=role.rsplit("/")[-1])
        except iam.exceptions.NoSuchEntityException:
            return self.refuse(400, "BadRequestException", "the crawler's role does not exist")
        bucket = self.lakes[region]
        provider = f"AmazonSecurityLake-Provider-{name}-{region}"
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{principal}:root"}, "Action": "sts:AssumeRole"}
        trust["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
        iam.create_role(RoleName=provider, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
        write = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/ext/{name}/*"}
        # Who may not list a bucket is told 403 and not 404 of what is not there.
        find = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
        rights = {"Version": "2012-10-17", "Statement": [write, find]}
        iam.put_role_policy(RoleName=provider, PolicyName="lake", PolicyDocument=json.dumps(rights))
        source = {
            "sourceName": name,
            "attributes": {"crawlerArn": f"arn:aws:glue:{region}:{ACCOUNT}:crawler/{name}"},
            "provider": {"location": f"s3://{bucket}/ext/{name}/", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/{provider}"},
        }
        there.append(source)
        self.answer(200, {"source": source})


def lake(region, native=False):
    """Enables Security Lake."""
    bucket = f"aws-security-data-lake-{region}-{uuid.uuid4().hex[:12]}"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    SecurityLake.lakes[region] = bucket
    if native:
        SecurityLake.native.add(region)
    return bucket


def bucket(name):
    client("s3").create_bucket(Bucket=name)


def user(name, policy):
    """A user with one policy; gives its keys."""
    iam = client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return [key["AccessKeyId"], key["SecretAccessKey"]]


def keys(bucket, prefix=""):
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def fetch(bucket, key, file):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    client("s3").download_file(bucket, key, file)


def put(bucket, key, content):
    client("s3").put_object(Bucket=bucket, Key=key, Body=content.encode())


def delivery_stream(name, bucket):
    """A delivery stream that puts each record into a bucket as it is."""
    configuration = {"RoleARN": f"arn:aws:iam::{ACCOUNT}:role/firehose", "BucketARN": f"arn:aws:s3:::{bucket}"}
    client("firehose").create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration=configuration)


class Moody(BaseHTTPRequestHandler):
    """A Firehose of one stream. It keeps the limits, refuses the third, sixth … record that it is given, and loses its second reply."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    calls = given = 0
    taken = []

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        with self.lock:
            assert self.headers["X-Amz-Target"] == "Firehose_20150804.PutRecordBatch", self.headers
            records = [base64.b64decode(record["Data"]) for record in body["Records"]]
            assert 1 <= len(records) <= 500 and sum(map(len, records)) <= 4 << 20, len(records)
            Moody.calls += 1
            responses = []
            for record in records:
                Moody.given += 1
                if Moody.given % 3 == 0:
                    responses.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."})
                else:
                    self.taken.append(record.decode())
                    responses.append({"RecordId": str(Moody.given)})
            if Moody.calls == 2:
                return self.connection.close()
            failed = sum("ErrorCode" in response for response in responses)
            answer = json.dumps({"FailedPutCount": failed, "RequestResponses": responses}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)


def moody_firehose():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def moody_records():
    return Moody.taken


class Metadata(BaseHTTPRequestHandler):
    """An instance's metadata service, version 2, which has one role's keys."""

    protocol_version = "HTTP/1.1"
    keys = {}

    def log_message(self, *_):
        pass

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        self.answer(200 if self.path == "/latest/api/token" else 404, "the-token")

    def do_GET(self):
        role = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("x-aws-ec2-metadata-token") != "the-token":
            self.answer(401, "")
        elif self.path == role:
            self.answer(200, "flowlake")
        elif self.path == role + "flowlake":
            self.answer(200, json.dumps(self.keys))
        else:
            self.answer(404, "")


def metadata(key, secret):
    """Starts it; gives where it is."""
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    Metadata.keys = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret, "Token": "", "Expiration": expires}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def certificate(name):
    """An authority of our own, and a server's key and certificate by it, as files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def make(subject, issuer, key, signer, extension):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=2)).add_extension(extension, critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def named(name):
        return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])

    folder = tempfile.mkdtemp(prefix="flowlake-tls-", dir=FOLDER)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own = make(named("authority"), named("authority"), authority, authority, x509.BasicConstraints(ca=True, path_length=0))
    server = make(named(name), named("authority"), key, authority, x509.SubjectAlternativeName([x509.DNSName(name)]))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for file, content in [("ca.pem", own), ("server.pem", server + key.private_bytes(*form))]:
        with open(f"{folder}/{file}", "wb") as out:
            out.write(content)
    return folder


def relay(one, other):
    """Passes bytes on both ways until either ends."""

    def pass_on(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    threading.Thread(target=pass_on, args=(one, other), daemon=True).start()
    pass_on(other, one)


def serve(handle):
    """Handles each connection to a port of its own on a thread; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            connection = listener.accept()[0]
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


TUNNELS = []


def tunnel(name):
    """The cloud under another name, which only a proxy knows, with a certificate of an authority that nobody knows."""
    folder = certificate(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.pem")

    def secure(connection):
        try:
            inner = context.wrap_socket(connection, server_side=True)
        except (OSError, ssl.SSLError):
            return connection.close()
        relay(inner, socket.create_connection(("127.0.0.1", PORT)))

    secured = serve(secure)

    def proxy(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            if not more:
                return connection.close()
            head += more
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        TUNNELS.append(f"{method} {target}")
        if method != "CONNECT" or target != f"{name}:443":
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return connection.close()
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        relay(connection, socket.create_connection(("127.0.0.1", secured)))

    return {"proxy": f"http://127.0.0.1:{serve(proxy)}", "ca": f"{folder}/ca.pem"}


def tunnels():
    """What proxies were asked for."""
    return TUNNELS


def logs():
    """Starts CloudWatch Logs; gives where it is."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def log_events(url, group):
    """What is in the streams of a group: of each the times and messages."""
    logs = client("logs", url)
    try:
        streams = [item["logStreamName"] for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group) for item in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:
        return {}
    events = {}
    for stream in streams:
        own, token = [], {}
        while True:
            page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
            own += [[event["timestamp"], event["message"]] for event in page["events"]]
            if not page["events"]:
                break
            token = {"nextToken": page["nextForwardToken"]}
        events[stream] = own
    return events


def query(sql):
    """Asks DuckDB, which reads S3 by itself."""
    from duckdb_extensions import import_extension

    import_extension("httpfs")
    connection = duckdb.connect()
    connection.execute("LOAD httpfs")
    key, secret = ADMIN
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', REGION 'us-east-1', ENDPOINT '127.0.0.1:{PORT}', URL_STYLE 'path', USE_SSL false)"
    )
    return [[str(value) for value in row] for row in connection.execute(sql).fetchall()]


DO = {
    "delivery_stream": delivery_stream,
    "log_events": log_events,
    "logs": logs,
    "moody_firehose": moody_firehose,
    "moody_records": moody_records,
    "lake": lake,
    "metadata": metadata,
    "bucket": bucket,
    "user": user,
    "keys": keys,
    "fetch": fetch,
    "put": put,
    "query": query,
    "tunnel": tunnel,
    "tunnels": tunnels,
}


def main():
    folder = FOLDER
    # Nothing of whoever runs the tests reaches the emulator.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(PORT), "TMPDIR": folder, "HOME": folder}
    with open(f"{folder}/log", "w") as log:
        ministack = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                client("s3").list_buckets()
                break
            except Exception:
                if ministack.poll() is not None:
                    raise SystemExit(open(f"{folder}/log").read())
                time.sleep(0.1)
        stub = ThreadingHTTPServer(("127.0.0.1", 0), SecurityLake)
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        print(json.dumps({"url": URL, "security_lake": f"http://127.0.0.1:{stub.server_port}"}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = {"ok": DO[request.pop("do")](**request)}
            except Exception as error:
                answer = {"error": repr(error)}
            print(json.dumps(answer), flush=True)
    finally:
        ministack.terminate()
        ministack.wait()
        subprocess.run(["rm", "-rf", folder], check=False)


main()
