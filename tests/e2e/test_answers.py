"""Goal: every kind of answer gets the verdict of the delivery contract, in the results file, the
events, the dead letters, the summary and the exit status.

Method: the bundled receiver is asked for each answer by the record's path; expectations are
written here once more, without looking at the program's own tables.
"""
import json
import os
import unittest

import harness
from harness import read_ndjson, summary

FINAL = ("failed", "status_final", "yes")
RETRY = (None, "status_retry", "yes")  # which outcome a last failed attempt has: see GIVEN_UP
BAD = (None, "bad_response", "yes")
GIVEN_UP = ("failed", "exhausted")

STATUSES = {
    200: ("delivered",), 201: ("delivered",), 204: ("delivered",), 299: ("delivered",),
    300: FINAL, 301: FINAL, 302: FINAL, 304: FINAL, 307: FINAL, 308: FINAL,
    400: FINAL, 401: FINAL, 403: FINAL, 404: FINAL, 405: FINAL, 410: FINAL, 413: FINAL, 422: FINAL,
    451: FINAL, 499: FINAL,
    408: RETRY, 429: RETRY, 500: RETRY, 502: RETRY, 503: RETRY, 504: RETRY, 529: RETRY, 599: RETRY,
}

BAD_ANSWERS = """http09 http2 major 101 status status-short status-long status-low status-high
    status-none bare-cr nul space-colon space-name no-colon big-head cl-empty cl-signed cl-negative
    cl-text cl-huge cl-twice cl-list cl-te short-body te-unknown te-order chunk-size chunk-empty
    chunk-huge chunk-signed chunk-end chunk-cut short-head""".split()
GOOD_ANSWERS = """lf no-reason folded high-bytes cl-same chunked chunk-ext trailers http10
    100-continue early-hints close-delimited early slow-bytes""".split()


class Answers(harness.Case):
    def told_by_path(self, paths, *options, behave=None):
        """Sends one record to each path; returns the results by path, and the run."""
        sinker = self.sinker(behave=behave)
        records = [{"id": path, "url": f"{sinker.url}{path}", "body": {"path": path}}
                   for path in paths]
        self.sent = records
        result = self.send_records(records, *options)
        return self.check_books(result, len(records)), result

    def expect(self, told, outcome, error, sent):
        if outcome is None:
            self.assertIn(told["outcome"], GIVEN_UP, told)
        else:
            self.assertEqual(told["outcome"], outcome, told)
        self.assertEqual(told["error"], error, told)
        self.assertEqual(told["sent"], sent, told)
        self.assertEqual(told["attempts"], 0 if error == "blocked_address" else 1, told)

    def test_every_status(self):
        by_path, result = self.told_by_path([f"/status/{code}" for code in STATUSES])
        for code, verdict in STATUSES.items():
            with self.subTest(code=code):
                told = by_path[f"/status/{code}"]
                self.assertEqual(told["status"], code, told)
                if verdict[0] == "delivered":
                    self.assertEqual(told["outcome"], "delivered", told)
                else:
                    self.expect(told, *verdict)
        self.check_status(result, 1)
        self.assertEqual(summary(result)["delivered"], 4)

    def test_a_body_of_failure_is_kept(self):
        by_path, _ = self.told_by_path(["/status/503", "/status/404", "/fine", "/hang/body"],
                                       "--timeout", "2s")
        self.assertIn("503", by_path["/status/503"]["answer"])
        self.assertIn("404", by_path["/status/404"]["answer"])
        self.assertNotIn("answer", by_path["/fine"])

    def test_no_more_than_a_kibibyte_of_it(self):
        by_path, _ = self.told_by_path(["/body/60K+status/500"])
        self.assertEqual(by_path["/body/60K+status/500"]["answer"], "x" * 1024)

    def test_malformed_answers(self):
        by_path, result = self.told_by_path([f"/bad/{name}" for name in BAD_ANSWERS])
        for name in BAD_ANSWERS:
            with self.subTest(name=name):
                self.expect(by_path[f"/bad/{name}"], *BAD)
        self.assertEqual(summary(result)["delivered"], 0)

    def test_close_without_an_answer(self):
        by_path, _ = self.told_by_path(["/bad/no-answer"])
        self.expect(by_path["/bad/no-answer"], None, "connection_closed", "maybe")

    def test_rare_but_legal_answers(self):
        by_path, result = self.told_by_path([f"/odd/{name}" for name in GOOD_ANSWERS])
        for name in GOOD_ANSWERS:
            with self.subTest(name=name):
                self.assertEqual(by_path[f"/odd/{name}"]["outcome"], "delivered")
        self.check_status(result, 0)

    def test_bytes_after_an_answer_do_not_change_it(self):
        """And the next record on that host is served by a fresh connection."""
        by_path, result = self.told_by_path(
            ["/bad/garbage-after", "/bad/two-answers", "/one", "/two", "/three"],
            "--host-connections", "1", "--shards", "1")
        self.check_status(result, 0)

    def test_a_bad_answer_does_not_harm_its_neighbours(self):
        paths = []
        for i, name in enumerate(BAD_ANSWERS + GOOD_ANSWERS):
            paths += [f"/plain/{i}", f"/bad/{name}" if name in BAD_ANSWERS else f"/odd/{name}"]
        by_path, result = self.told_by_path(paths, "--host-connections", "2", "--shards", "1")
        for path, told in by_path.items():
            if path.startswith("/plain"):
                self.assertEqual(told["outcome"], "delivered", told)

    def test_broken_connections(self):
        by_path, _ = self.told_by_path(["/reset/head", "/reset/body"])
        self.expect(by_path["/reset/head"], None, "connection_reset", "maybe")
        self.assertIn(by_path["/reset/body"]["outcome"], GIVEN_UP)
        self.assertEqual(by_path["/reset/body"]["sent"], "yes", by_path["/reset/body"])

    def test_reset_after_accept(self):
        by_path, result = self.told_by_path(["/a", "/b", "/c"], behave="reset/after-accept")
        for told in by_path.values():
            self.assertIn(told["error"], ("connection_reset", "connection_closed"), told)
            self.assertNotEqual(told["sent"], "yes", told)
        self.check_status(result, 1)

    def test_refused_connection(self):
        held, port = harness.dead_port()
        self.addCleanup(held.close)
        result = self.send_records([{"id": "a", "url": f"http://127.0.0.1:{port}/"}])
        told = self.check_books(result, 1)["a"]
        self.expect(told, None, "connect_refused", "no")
        self.assertEqual(told["status"], 599, told)
        self.check_status(result, 1)

    def test_address_refused_by_policy(self):
        """Loopback is refused unless allowed; nothing may reach the receiver."""
        sinker = self.sinker(listen=["127.0.0.1:0", "[::1]:0"])
        port = sinker.addresses[0].rsplit(":", 1)[1]
        six = sinker.addresses[1].rsplit(":", 1)[1]
        urls = [f"http://127.0.0.1:{port}/", f"http://localhost:{port}/",
                f"http://[::1]:{six}/", f"http://[::ffff:127.0.0.1]:{port}/",
                f"http://2130706433:{port}/", f"http://0x7f.1:{port}/", f"http://0:{port}/",
                f"http://named.example:{port}/", f"http://10.0.0.1:{port}/",
                f"http://169.254.169.254:{port}/", f"http://192.0.2.1:{port}/"]
        result = self.send_records([{"id": f"r{i}", "url": url} for i, url in enumerate(urls)],
                                   "--resolve", f"named.example:{port}:127.0.0.1", allow=False)
        self.assertEqual(result.status, 1, str(result))
        numbers = summary(result)
        self.assertEqual(numbers["delivered"], 0)
        self.assertEqual(numbers["accepted"] + numbers.get("rejected", 0), len(urls))
        for told in self.results():
            self.expect(told, "failed", "blocked_address", "no")
        details = {told["id"]: told["detail"] for told in self.results()}
        self.assertGreaterEqual(len(details), 8)
        self.assertIn("127.0.0.1: loopback 127.0.0.0/8 (RFC 1122)", details.values())
        for name, why in (("10.0.0.1", "10.0.0.1: private 10.0.0.0/8 (RFC 1918)"),
                          ("named.example", "127.0.0.1: loopback 127.0.0.0/8 (RFC 1122)")):
            index = next(i for i, url in enumerate(urls) if name in url)
            self.assertEqual(details[f"r{index}"], why)
            line = f"hookline: {name}:{port}: refused by the egress policy: {why}\n"
            self.assertEqual(result.err.count(line), 1, result.err)
        self.assertEqual(sinker.stop(), [])

    def test_a_refusal_is_shown_once(self):
        """By all shards together, which both read some of so many blocks; the twenty-first host is
        one too many."""
        for count, shown_most in ((1, 1), (29, 20)):
            result = self.send_records([{"id": f"r{i}", "url": f"http://10.0.0.{i % count + 1}/{i}",
                                         "body": "x" * 400} for i in range(40000)],
                                       "--shards", "2", allow=False)
            self.assertEqual(summary(result)["failed"], 40000)
            shown = [line for line in result.lines if "refused by the egress policy" in line]
            self.assertEqual(len(shown), shown_most, result.err)
            self.assertEqual(len(set(shown)), shown_most, result.err)
            self.assertEqual(result.err.count("further hosts that are refused"), count > 20)
            os.unlink(self.path("results"))

    def test_deny_net_beats_allow_net(self):
        sinker = self.sinker(listen=["127.0.0.1:0", "127.0.0.2:0"])
        result = self.send_records([{"id": f"r{i}", "url": f"http://{at}/?id=r{i}"}
                                    for i, at in enumerate(sinker.addresses)],
                                   "--deny-net", "127.0.0.2/32")
        by_id = self.check_books(result, 2)
        self.assertEqual(by_id["r0"]["outcome"], "delivered")
        self.expect(by_id["r1"], "failed", "blocked_address", "no")
        self.assertEqual(by_id["r1"]["detail"], "127.0.0.2: --deny-net 127.0.0.2/32")
        self.assertEqual([e["id"] for e in sinker.stop()], ["r0"])

    def test_answer_body_over_the_limit(self):
        """The verdict is by status; the connection is not used again; memory stays small."""
        by_path, result = self.told_by_path(
            ["/body/65536", "/body/65537", "/body/1G", "/body/10M+status/500", "/next"],
            "--host-connections", "1", "--shards", "1")
        for path in ("/body/65536", "/body/65537", "/body/1G", "/next"):
            self.assertEqual(by_path[path]["outcome"], "delivered", by_path[path])
        self.expect(by_path["/body/10M+status/500"], *RETRY)
        self.assertLess(result.peak_kib, 512 << 10)

    def test_redirects_are_not_followed(self):
        receiver = self.raw_receiver(lambda head, body: (
            b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"))
        result = self.send_records([{"id": "a", "url": receiver.url + "/"}])
        self.expect(self.check_books(result, 1)["a"], *FINAL)
        self.assertEqual(len(receiver.requests), 1)

    def test_a_hint_does_not_turn_a_final_answer(self):
        receiver = self.raw_receiver(lambda head, body: (
            b"HTTP/1.1 401 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"))
        result = self.send_records([{"id": "a", "url": receiver.url + "/"}])
        self.expect(self.check_books(result, 1)["a"], *FINAL)
        self.assertEqual(len(receiver.requests), 1)


class Outputs(harness.Case):
    """What the files look like, on a run with every kind of ending."""

    PATHS = ("/fine", "/status/404", "/status/503", "/bad/cl-text", "/reset/head")

    def setUp(self):
        super().setUp()
        sinker = self.sinker()
        self.records = [
            {"id": f"r{i}", "url": f"{sinker.url}{self.PATHS[i % 5]}?id=r{i}&token=hushhush",
             "headers": {"Authorization": "Bearer hushhush", "X-Secret": "hushhush",
                         "Cookie": "c=hushhush"},
             "body": {"n": i}} for i in range(50)]
        self.lines = [json.dumps(r).encode() for r in self.records]  # with spaces: as they came
        self.lines.insert(7, b'{"id": "bad"}')
        self.lines.insert(20, b"\xff\xfe not even text")
        self.result = self.send_records(
            self.lines, "--events", self.path("events"), "--dead-letters", self.path("dead"),
            "--rejects", self.path("rejects"), "--redact", "X-Secret")
        self.by_id = self.check_books(self.result, 50)
        self.sinker = sinker

    def test_results_have_every_field(self):
        numbers = {r["id"]: self.lines.index(line) + 1
                   for line in self.lines if line.startswith(b'{"id": "r')
                   for r in [json.loads(line)]}
        stamp = r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"
        for name, told in self.by_id.items():
            self.assertEqual(told["line"], numbers[name])
            self.assertRegex(told["first_attempt_at"], stamp)
            self.assertRegex(told["finished_at"], stamp)
            self.assertLessEqual(told["first_attempt_at"], told["finished_at"])
            self.assertGreaterEqual(told["duration_ms"], 0)
            self.assertGreaterEqual(told["total_ms"], told["duration_ms"])
            self.assertIn("url", told)
            self.assertIn("127.0.0.1", told["host"])
            self.assertEqual(told["attempts"], 1)

    def test_dead_letters_are_the_lines_as_they_came(self):
        with open(self.path("dead"), "rb") as f:
            dead = f.read().splitlines()
        expected = {line for line in self.lines if line.startswith(b'{"id": "r')
                    and self.by_id[json.loads(line)["id"]]["outcome"] != "delivered"}
        self.assertEqual(set(dead), expected)
        self.assertEqual(len(dead), 40)

    def test_dead_letters_are_valid_input(self):
        first = len(self.sinker.stop())
        self.assertGreater(first, 0)
        again = self.sinker_again()
        result = self.send(again)
        self.check_status(result, 1)
        self.check_books(result, 40)

    def sinker_again(self):
        """The dead letters, sent to a receiver that is gone by now: all fail once more."""
        harness.os.rename(self.path("dead"), self.path("again"))
        return self.path("again")

    def test_rejects_are_the_lines_as_they_came(self):
        with open(self.path("rejects"), "rb") as f:
            found = f.read()
        self.assertIn(b'{"id": "bad"}', found)
        self.assertIn(b"\xff\xfe not even text", found)
        self.assertEqual(summary(self.result)["rejected"], 2)

    def test_events_tell_every_attempt(self):
        events = read_ndjson(self.path("events"))
        self.assertEqual(len(events), 50)
        for event in events:
            for field in ("is_terminal", "retry_count", "http_status_code", "host", "url_path",
                          "content_length", "webhook_duration", "raw_response"):
                self.assertIn(field, event)
            self.assertIs(event["is_terminal"], True)
            self.assertEqual(event["retry_count"], 0)

    def test_secrets_are_nowhere(self):
        """Values of Authorization, Cookie and --redact names; the query belongs to the URL."""
        for name in ("results", "events"):
            with open(self.path(name), "rb") as f:
                text = f.read().replace(b"token=hushhush", b"")
            self.assertNotIn(b"hushhush", text, name)
        self.assertNotIn("hushhush", self.result.err)

    def test_exit_status_and_last_line(self):
        self.check_status(self.result, 1, "40 of 50")


if __name__ == "__main__":
    harness.main()
