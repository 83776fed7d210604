"""Goal: every request carries signatures that a receiver of Standard Webhooks verifies over the
bytes that it got, and the secrets are nowhere else.

Method: the receiver keeps the bytes; Python's hmac and the openssl program verify.
"""
import base64
import hashlib
import hmac
import os
import subprocess
import time

import harness

HMAC_KEYS = [b"old key of 24 bytes here", b"\x00\xff" * 32]
HMAC_SECRETS = ["whsec_" + base64.b64encode(key).decode() for key in HMAC_KEYS]
SEED = bytes(range(32))
ED_SECRET = "whsk_" + base64.b64encode(SEED).decode()
# RFC 8410: what stands before the seed in a PKCS #8 key.
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


class Signing(harness.Case):
    schedule = True

    def secrets(self, *lines, mode=0o600):
        path = self.path("secrets")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod(path, mode)
        return path

    def ed25519_verifies(self, message, signature):
        names = {name: self.path(name) for name in ("seed.der", "message", "signature")}
        for name, content in (("seed.der", PKCS8 + SEED), ("message", message),
                              ("signature", signature)):
            with open(names[name], "wb") as f:
                f.write(content)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-keyform", "DER",
                               "-inkey", names["seed.der"], "-in", names["message"],
                               "-sigfile", names["signature"]], capture_output=True, text=True)
        return done.returncode == 0

    def verify(self, request, kinds):
        """Checks each signature of a (head, body); kinds: a key for HMAC, None for ed25519."""
        head, body = request
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        stamp = fields[b"webhook-timestamp"]
        self.assertRegex(stamp, rb"^\d{10}$")
        message = fields[b"webhook-id"] + b"." + stamp + b"." + body
        signatures = fields[b"webhook-signature"].split(b" ")
        self.assertEqual(len(signatures), len(kinds), fields)
        for signature, key in zip(signatures, kinds):
            version, value = signature.split(b",", 1)
            raw = base64.b64decode(value, validate=True)
            if key is None:
                self.assertEqual(version, b"v1a")
                self.assertTrue(self.ed25519_verifies(message, raw), fields)
                self.assertFalse(self.ed25519_verifies(message + b"x", raw))
            else:
                self.assertEqual(version, b"v1")
                want = hmac.new(key, message, hashlib.sha256).digest()
                self.assertEqual(raw, want, fields)
        return fields[b"webhook-id"].decode(), int(stamp)

    def test_signatures_verify(self):
        """Every secret signs; any method, body and id; the time is the attempt's."""
        receiver = self.raw_receiver()
        path = self.secrets("# the old one", HMAC_SECRETS[0], "", f"  {HMAC_SECRETS[1]}\r",
                            ED_SECRET)
        before = int(time.time())
        result = self.send_records([
            {"id": "object", "url": f"{receiver.url}/", "body": {"a": [1, "\u00e9"]}},
            {"id": "text", "url": f"{receiver.url}/", "body": "\u00e9\n", "method": "PUT"},
            {"id": "none", "url": f"{receiver.url}/", "method": "GET"},
            {"id": "i" * 256, "url": f"{receiver.url}/?q", "body": "x" * 100000},
            {"url": f"{receiver.url}/", "headers": {"X-A": "1"}},
        ], "--sign-secret-file", path, "--shards", "2")
        self.check_status(result, 0)
        self.assertNotIn("warning", result.err)
        seen = [self.verify(request, [HMAC_KEYS[0], HMAC_KEYS[1], None])
                for request in receiver.requests]
        self.assertEqual(len(seen), 5)
        told = {told["id"] for told in self.results()}
        self.assertEqual({name for name, _ in seen}, told)
        for _, stamp in seen:
            self.assertTrue(before <= stamp <= time.time() + 1, stamp)

    def test_each_attempt_has_its_own_time(self):
        answers = [b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n"] * 2
        receiver = self.raw_receiver(
            lambda head, body: answers.pop() if answers else harness.RawReceiver.OK)
        result = self.send_records([{"id": "a", "url": f"{receiver.url}/", "body": {"a": 1}}],
                                   "--sign-secret-file", self.secrets(HMAC_SECRETS[0]),
                                   "--backoff", "2s,1,2s")
        self.check_status(result, 0)
        seen = [self.verify(request, [HMAC_KEYS[0]]) for request in receiver.requests]
        self.assertEqual([name for name, _ in seen], ["a"] * 3)
        stamps = [stamp for _, stamp in seen]
        self.assertTrue(stamps[0] < stamps[1] < stamps[2], stamps)

    def test_secret_of_the_environment(self):
        """It signs, and leaves the process's environment where others of its user look."""
        receiver = self.raw_receiver()
        secret = HMAC_SECRETS[1]
        process = self.start("-", stdin=subprocess.PIPE, env={"HOOKLINE_SIGN_SECRET": secret})
        process.child.stdin.write(b'{"id":"a","url":"%s"}\n' % receiver.url.encode())
        process.child.stdin.flush()
        harness.wait_until(lambda: receiver.requests, "the request")
        for name in ("environ", "cmdline"):
            with open(f"/proc/{process.child.pid}/{name}", "rb") as f:
                self.assertNotIn(secret.encode(), f.read())
        process.child.stdin.close()
        self.check_status(process.finish(), 0)
        self.verify(receiver.requests[0], [HMAC_KEYS[1]])

    def test_secrets_are_nowhere(self):
        receiver = self.raw_receiver(lambda head, body: b"HTTP/1.1 400 no\r\nContent-Length: %d\r\n"
                                     b"\r\n%s" % (len(head), head))
        path = self.secrets(HMAC_SECRETS[0], ED_SECRET)
        result = self.send_records([{"id": "a", "url": f"{receiver.url}/", "body": {"a": 1}}],
                                   "--sign-secret-file", path, "--events", self.path("events"),
                                   "--dead-letters", self.path("dead"))
        self.check_status(result, 1)
        shown = self.start("--print-config", "--sign-secret-file", path,
                           env={"HOOKLINE_SIGN_SECRET": HMAC_SECRETS[1]}).finish()
        self.check_status(shown, 0)
        self.assertIn(f"sign-secret-file = {path}", shown.out)
        texts = [result.err, result.out, shown.err, shown.out]
        for name in ("results", "events", "dead"):
            with open(self.path(name)) as f:
                texts.append(f.read())
        signature = receiver.requests[0][0].split(b"webhook-signature: ")[1].decode()
        for text in texts:
            for secret in (*HMAC_SECRETS, ED_SECRET, *signature.split()):
                self.assertNotIn(secret.split("_")[-1].split(",")[-1], text)

    def test_records_that_cannot_be_signed(self):
        receiver = self.raw_receiver()
        path = self.secrets(HMAC_SECRETS[0])
        bad = [{"id": "a.b", "url": receiver.url}, {"id": "a b", "url": receiver.url},
               {"id": "\u00e9", "url": receiver.url}]
        bad += [{"id": name, "url": receiver.url, "headers": {name: "mine"}} for name in
                ("webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE")]
        result = self.send_records(bad, "--sign-secret-file", path)
        self.assertEqual(harness.summary(result)["rejected"], len(bad), str(result))
        self.assertEqual(receiver.requests, [])
        result = self.send_records(bad)  # without signing they are nothing special
        self.check_status(result, 0)
        self.assertEqual(len(receiver.requests), len(bad))

    def test_what_is_no_secret(self):
        for lines, where in ((["# nothing"], "holds no secret"), (["whsec_c2hvcnQ="], ":1: "),
                             ([ED_SECRET, "", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], ":3: "),
                             ([ED_SECRET] * 9, ":9: "), (["x" * 20000], "more than")):
            result = self.start("--sign-secret-file", self.secrets(*lines), "/dev/null").finish()
            self.check_status(result, 2)
            self.assertIn(where, result.err)
            for line in lines:
                if len(line) > 12:
                    self.assertNotIn(line[6:], result.err)
        result = self.start("--sign-secret-file", self.path("none"), "/dev/null").finish()
        self.check_status(result, 2)
        self.assertIn("No such file", result.err)
        result = self.start("/dev/null", env={"HOOKLINE_SIGN_SECRET": "s3cret-text"}).finish()
        self.check_status(result, 2)
        self.assertIn("HOOKLINE_SIGN_SECRET", result.err)
        self.assertNotIn("s3cret-text", result.err)

    def test_a_file_that_others_may_read(self):
        result = self.send_records([], "--sign-secret-file",
                                   self.secrets(HMAC_SECRETS[0], mode=0o644))
        self.check_status(result, 0)
        self.assertIn("chmod 600", result.err)


if __name__ == "__main__":
    harness.main()
