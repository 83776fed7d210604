"""Goal: a report says what the results say, in each of its forms; its page is one file that needs
nothing else, whatever stands in the results; and it is written whole or not at all.

Method: results of real runs, and results made by hand with hostile, damaged and extreme lines; the
page is read by a parser that demands balanced tags, nothing that loads or runs, coordinates inside
the plots and labels that do not overlap; its tables are compared with --json.
"""
import datetime
import html.parser
import json
import os
import re
import resource
import signal
import stat
import subprocess

import harness
from harness import HOOKLINE, wait_until

VOID = {"meta", "rect", "line"}
KNOWN = VOID | {"html", "head", "title", "style", "body", "header", "main", "footer", "section",
                "h1", "h2", "p", "strong", "bdi", "span", "div", "table", "thead", "tbody", "tr",
                "th", "td", "svg", "g", "text"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "scope", "viewbox",
              "role", "aria-label", "x", "y", "width", "height", "x1", "y1", "x2", "y2",
              "text-anchor"}
HOSTILE = [
    "<script>alert(1)</script>", "</bdi></th><script src=//x>", "\"onload=\"x", "' onfocus='y",
    "a&lt;b", "-->", "]]>", "{{7*7}}", "\x1b[31mred\x07", "nul\x00nul", "line\nfeed\ttab",
    "\u202eevil\u2066", "\u2028", "h\u00e4\u20ac\U0001f600", "\\", "\\u003c", "<" * 300,
    "\u00e4" * 300, "\x7f\x85",
]
START = datetime.datetime(2026, 11, 28, 2, 55, 2, 123456)


def stamp(seconds, start=START):
    at = start + datetime.timedelta(microseconds=round(seconds * 1e6))
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(number, host="a.example", outcome="delivered", seconds=0.0, **more):
    """A line as a run writes it; more overrides its fields, or removes those that are None."""
    fields = {"id": f"r{number}", "line": number, "host": host, "outcome": outcome,
              "status": 200 if outcome == "delivered" else 503,
              "error": "ok" if outcome == "delivered" else "status_retry", "sent": "yes",
              "attempts": 1, "first_attempt_at": stamp(seconds - 0.01),
              "finished_at": stamp(seconds), "duration_ms": 10.5, "total_ms": 10.5, **more}
    fields = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Page(html.parser.HTMLParser):
    """Reads a page and complains; tables: section id -> {first cell: other cells}."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.tables, self.plots = [], [], {}, []
        self.section, self.row, self.label = None, None, None
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html" and not self.open, decl

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_pi = unknown_decl = handle_comment

    def handle_starttag(self, tag, attrs):
        assert tag in KNOWN, tag
        values = dict(attrs)
        assert len(values) == len(attrs) and ATTRIBUTES.issuperset(values), attrs
        if tag == "section":
            self.section = values["id"]
            self.tables[self.section] = {}
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.row.append("")
        elif tag == "svg":
            self.plots.append([float(n) for n in values["viewbox"].split()] + [[]])
        if "svg" in self.open:
            self.check_inside(tag, values)
        if tag not in VOID:
            self.open.append(tag)

    def check_inside(self, tag, values):
        _, _, width, height, texts = self.plots[-1]
        at = {name: float(value) for name, value in values.items()
              if name in ("x", "y", "x1", "y1", "x2", "y2", "width", "height")}
        for name, value in at.items():
            assert 0 <= value <= (width if name[0] in "xw" else height), (tag, values)
        if tag == "rect":
            assert at["x"] + at["width"] <= width + 0.01, values
            assert at["y"] + at["height"] <= height + 0.01, values
        if tag == "text":
            texts.append([at["x"], at["y"], values["text-anchor"], ""])

    def handle_startendtag(self, tag, attrs):
        assert tag in ("rect", "line"), tag
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()
        if tag == "tr" and "tbody" in self.open:
            assert self.row[0] not in self.tables[self.section], self.row
            self.tables[self.section][self.row[0]] = self.row[1:]

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert not re.search(r"url\(|@import|expression|<", data), data
        elif self.open[-1:] == ["text"]:
            self.plots[-1][4][-1][3] += data
        elif "th" in self.open or "td" in self.open:
            self.row[-1] += data
        self.texts.append(data)

    def check_labels(self):
        """As wide as in DejaVu Sans, which is wider than most."""
        for _, _, width, _, texts in self.plots:
            boxes = []
            for x, y, anchor, text in texts:
                wide = 7.6 * len(text)
                left = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
                assert left >= -0.5 and left + wide <= width + 0.5, (text, left, left + wide)
                boxes.append((y, left, left + wide, text))
            boxes.sort()
            for i, (y, left, right, text) in enumerate(boxes):
                for y2, left2, right2, text2 in boxes[i + 1:]:
                    apart = y2 - y >= 12 or right <= left2 or right2 <= left
                    assert apart, (text, text2, y, y2)


def grouped(n):
    return f"{n:,}"


class Report(harness.Case):
    undated = 0  # records of a test that do not say when they ended

    def report(self, *args, status=0, **more):
        done = subprocess.run([HOOKLINE, "report", *args], capture_output=True, timeout=120,
                              **more)
        self.assertEqual(done.returncode, status, done.stderr)
        for mark in (b"Sanitizer", b"runtime error", b"CHECK"):
            self.assertNotIn(mark, done.stderr)
        if status == 0:
            self.assertEqual(done.stderr, b"")
        else:
            self.assertEqual(done.stdout, b"")
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        return done.stdout if status == 0 else done.stderr.decode()

    def page(self, what):
        """The page of it, checked for all that must hold; and what --json says of the same."""
        file = self.path("page.html")
        self.report("--html", file, what)
        with open(file, encoding="utf-8", errors="strict") as f:
            text = f.read()
        self.assertNotRegex(text, r"(?i)\b(nan|inf)\b")
        self.assertIsNone(re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text))
        self.assertNotIn("://", re.sub(r"<bdi>.*?</bdi>|<title>.*?</title>", "", text))
        page = Page(text)
        page.check_labels()
        said = json.loads(self.report("--json", what))
        self.report(what)  # it can be told as text as well
        self.check_results(page, said.get("results", said))
        return page, said

    def check_results(self, page, said):
        if "records" not in said:
            return
        tables, records = page.tables, said["records"]
        for outcome, count in said["outcomes"].items():
            if outcome in ("delivered", "failed") or count > 0:
                share = f"{100 * count / records if records else 0:.2f} %"
                self.assertEqual(tables["outcomes"][outcome], [grouped(count), share])
        self.assertIn(f"Attempts: {grouped(said['attempts'])}; records that were tried more than "
                      f"once: {grouped(said['retried'])}.", "".join(page.texts))
        if records == 0:
            self.assertEqual(list(tables), ["state"] * ("state" in tables) + ["outcomes"])
            return
        for name in ("errors", "statuses"):
            self.assertEqual({row: cells[0] for row, cells in tables[name].items()},
                             {row: grouped(count) for row, count in said[name].items()})
        self.assertEqual(tables["latency"]["last attempt"][0],
                         grouped(said["duration_ms"]["count"]))
        shown = [(row["records"], row["delivered"]) for row in said["hosts"]]
        self.assertEqual([(int(c[0].replace(",", "")), int(c[1].replace(",", "")))
                          for c in tables["hosts"].values()][:len(shown)], shown)
        self.check_bars(page, said)

    def check_bars(self, page, said):
        """What the columns and bars say when pointed at adds up."""
        texts = "\n".join(page.texts)
        columns = re.findall(r"([\d,]+) delivered, ([\d,]+) not$", texts, re.M)
        if "finished_at" in said:
            self.assertEqual(sum(int(a.replace(",", "")) + int(b.replace(",", ""))
                                 for a, b in columns), said["records"] - self.undated)
        bars = re.findall(r"^\S+ \S+ to \S+ \S+: about ([\d,]+)$", texts, re.M)
        self.assertEqual(sum(int(n.replace(",", "")) for n in bars), said["duration_ms"]["count"])

    def write(self, lines, name="made"):
        with open(self.path(name), "wb") as f:
            f.writelines(lines)
        return self.path(name)

    # ---- of runs ---------------------------------------------------------------------------

    def test_of_a_run(self):
        receiver = self.sinker()
        paths = ["/in", "/in", "/in", "/status/404", "/status/503", "/delay/30ms"]
        self.send_records({"id": f"r{i}", "url": receiver.url + paths[i % 6]} for i in range(600))
        page, said = self.page(self.path("results"))
        self.assertEqual(said["records"], 600)
        self.assertEqual(said["hosts_left"], 0)
        self.assertEqual(page.tables["outcomes"]["delivered"][0], "400")
        self.assertEqual(page.tables["statuses"]["404"][0], "100")
        self.assertEqual(len(page.plots), 3)

    def test_of_a_state(self):
        receiver = self.sinker()
        at = self.path("input")
        with open(at, "w") as out:
            for i in range(400):
                out.write(json.dumps({"id": f"r{i}", "url": f"{receiver.url}/in"}) + "\n")
        args = ("--state", self.path("state"), at)
        run = self.start("--rate", "400/s", *args)
        wait_until(lambda: os.path.exists(self.path("results")) and
                   os.path.getsize(self.path("results")) > 0, "some results")
        Page(self.report("--html", "-", self.path("state")).decode())  # while it goes on
        run.signal(signal.SIGTERM)
        run.finish()
        page, said = self.page(self.path("state"))
        state = said["state"]
        self.assertFalse(state["over"])
        table = page.tables["state"]
        self.assertEqual(table["done"][0], grouped(sum(state["outcomes"].values())))
        for row, key in (("waiting", "waiting"), ("due", "due"), ("under way", "under_way"),
                         ("maybe delivered", "maybe_delivered"), ("rejected", "rejected"),
                         ("holds", "holds")):
            self.assertEqual(table[row][0], grouped(state[key]))
        share = 100 * state["begun_bytes"] / state["input_bytes"]
        self.assertIn(f"({share:.1f} %)", "".join(page.texts))
        self.assertIn("It is not over", "".join(page.texts))
        self.send(*args)
        page, said = self.page(self.path("state"))
        self.assertIn("It is over, with exit status 0", "".join(page.texts))
        self.assertEqual(said["results"]["records"], 400)
        os.unlink(self.path("results"))
        page, said = self.page(self.path("state"))
        self.assertNotIn("results", said)
        self.assertEqual(page.tables["outcomes"]["delivered"], ["400", "100.00 %"])
        self.assertIn("no results file", "".join(page.texts))

    # ---- of what nobody would have written -------------------------------------------------

    def test_hostile_hosts(self):
        lines = [line(i, host, "failed", i) for i, host in enumerate(HOSTILE)]
        # As another writer might have escaped it.
        lines.append(line(1, "HOST").replace(b"HOST", br"\u003cscript\u003E\ud800\/"))
        lines.append(line(1, "HOST").replace(b"HOST", b"<b>\xff\xfe\xc3"))
        lines.append(line(1, "HOST").replace(b"HOST", b"\x01\x1b[2J"))
        page, said = self.page(self.write(lines, "<b>&\"'\x1b\n.ndjson"))
        self.assertEqual(said["records"], len(HOSTILE) + 3)
        self.assertEqual(len(page.tables["hosts"]), len(HOSTILE) + 3)
        self.assertIn("<script>\ufffd/", page.tables["hosts"])
        self.assertIn("<script>alert(1)</script>", page.tables["hosts"])
        self.assertIn("\u241b[31mred\u2407", page.tables["hosts"])
        self.assertIn("<b>&\"'\u241b\u240a.ndjson", "".join(page.texts))
        text = self.report(self.path("<b>&\"'\x1b\n.ndjson")).split(b"\n", 2)[2]
        self.assertNotRegex(text, rb"[\x00-\x09\x0b-\x1f]")

    def test_hostile_results_path(self):
        """The state's own texts are escaped too."""
        receiver = self.sinker()
        folder = self.path("<i>&amp;")
        os.mkdir(folder)
        at = os.path.join(folder, "in")
        with open(at, "w") as out:
            out.write(json.dumps({"url": f"{receiver.url}/in"}) + "\n")
        self.send("--state", os.path.join(folder, "state"), at)
        page, _ = self.page(os.path.join(folder, "state"))
        self.assertIn(at, page.texts)

    def test_lines_that_are_none(self):
        self.undated = 1
        lines = [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"a":1,"outcome":"well"}\n',
                 b'{"a":1,"outcome":5}\n', b'{"a":1,"outcome":"delivered\n', b"\0\0\n",
                 line(1), line(2, finished_at="yesterday", first_attempt_at=7),
                 line(3, duration_ms="long", total_ms=None, attempts=-1, status="ok", error=3),
                 line(4, duration_ms=999999999999.999, attempts=10 ** 12), line(4),
                 line(4, duration_ms=10 ** 30, total_ms=1e300, attempts=10 ** 40, status=10 ** 9),
                 line(5, host=None), line(6, outcome="failed", error="no such error"),
                 line(7)[:-1]]
        page, said = self.page(self.write(lines))
        self.assertEqual((said["records"], said["not_understood"]), (8, 8))
        self.assertEqual(said["attempts"], 10 ** 12 + 5)
        self.assertIn("not understood, and are in none of these numbers: 8.", "".join(page.texts))

    def test_empty(self):
        page, said = self.page(self.write([]))
        self.assertEqual((said["records"], page.plots), (0, []))

    def test_one(self):
        page, _ = self.page(self.write([line(1)]))
        self.assertIn("1 delivered, 0 not", "".join(page.texts))
        self.assertIn("in each 1ms", "".join(page.texts))

    def test_none_delivered_and_none_sent(self):
        page, said = self.page(self.write(
            line(i, outcome="expired", seconds=i, attempts=0, first_attempt_at=None,
                 status=None, error="expired", duration_ms=0, total_ms=0) for i in range(50)))
        self.assertEqual(page.tables["outcomes"]["expired"], ["50", "100.00 %"])
        self.assertEqual(said["duration_ms"]["count"], 0)

    def test_below_a_millisecond(self):
        page, _ = self.page(self.write(
            line(i, outcome="failed", seconds=i * 1e-7, duration_ms=0.001 * i, attempts=2)
            for i in range(500)))
        self.assertEqual(page.tables["outcomes"]["failed"], ["500", "100.00 %"])

    def test_gaps_and_wrong_clocks(self):
        nights = [line(i, seconds=i * 0.01 + (i // 1000) * 40000) for i in range(3000)]
        odd = [line(1, finished_at=at) for at in (
            "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:05Z", "2299-12-31T23:59:59.9Z",
            "2554-07-21T23:34:30.709551Z", "9999-12-31T23:59:59.999999Z")]
        page, said = self.page(self.write(nights))
        self.assertEqual(len(re.findall("nothing for 11h6m", "".join(page.texts))), 2)
        self.assertIn("in each 200ms", "".join(page.texts))
        self.write(odd[4:])
        page, said = self.page(self.write(nights + odd[:4]))
        self.assertEqual(said["records"], 3004)
        page = Page(self.report("--html", "-", self.write(nights + odd)).decode())
        page.check_labels()

    def test_all_lengths(self):
        for seconds in (0.002, 0.05, 0.9, 7, 61, 700, 4000, 50000, 10 ** 6, 10 ** 8):
            with self.subTest(seconds=seconds):
                self.page(self.write(
                    line(i, seconds=i * seconds / 300, duration_ms=round(0.05 * 1.03 ** i, 3))
                    for i in range(300)))

    def test_latencies_of_all_sizes(self):
        for power in range(0, 17):
            with self.subTest(power=power):
                self.page(self.write([line(1, duration_ms=10 ** power),
                                      line(2, duration_ms=10 ** (power / 3) * 1.7)]))

    def test_more_hosts_than_the_table_has(self):
        lines = [line(i, f"h{i}.example", "failed" if i % 3 == 0 else "delivered")
                 for i in range(5000)]
        page, said = self.page(self.write(lines))
        self.assertGreater(said["hosts_left"], 3000)
        self.assertIn(f"{said['hosts_left']:,} records of further hosts", "".join(page.texts))
        rest = re.search(r"Hosts beyond these: ([\d,]+), with ([\d,]+) records",
                         "".join(page.texts))
        shown = sum(int(cells[0]) for cells in page.tables["hosts"].values())
        self.assertEqual(shown + int(rest.group(2).replace(",", "")) + said["hosts_left"], 5000)
        self.assertIn(f"{said['hosts_left']:,}".encode(), self.report(self.path("made")))

    # ---- where it is written ---------------------------------------------------------------

    def test_standard_streams(self):
        made = self.write([line(1)])
        with open(made) as given:
            page = Page(self.report("--html", "-", "-", stdin=given).decode())
        self.assertIn("standard input", page.texts)
        Page(self.report("--html", "/dev/stdout", made).decode())

    def test_modes_and_links(self):
        made, file = self.write([line(1)]), self.path("page.html")
        self.report("--html", file, made, umask=0o027)
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o640)
        os.chmod(file, 0o604)
        os.symlink("page.html", self.path("link"))
        self.report("--html", self.path("link"), made)
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o604)

    def test_what_cannot_be_written(self):
        made = self.write([line(i, seconds=i) for i in range(100)])
        os.mkdir(self.path("folder"))
        for file in (self.path("no/page.html"), self.path("folder"), made + "/page.html",
                     "/dev/full", self.path("x" * 255)):
            self.assertIn("cannot be written", self.report("--html", file, made, status=4))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HOOKLINE, "report", "--html", "-", made], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (4, 1), done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["folder", "made"])

    def test_whole_or_not_at_all(self):
        made, file = self.write([line(i, seconds=i) for i in range(100)]), self.path("page.html")
        with open(file, "w") as old:
            old.write("old")
        limit = (resource.RLIMIT_FSIZE, (5000, 5000))
        said = self.report("--html", file, made, status=4,
                           preexec_fn=lambda: resource.setrlimit(*limit))
        self.assertIn("File too large", said)
        with open(file) as old:
            self.assertEqual(old.read(), "old")
        self.assertEqual(sorted(os.listdir(self.folder)), ["made", "page.html"])

    def test_usage(self):
        made = self.write([line(1)])
        self.assertIn("--json", self.report("--json", "--html", "-", made, status=2))
        self.assertIn("another FILE", self.report("--html", made, made, status=2))
        with open(made, "rb") as f:
            self.assertEqual(f.read(), line(1))
        self.assertIn("cannot read", self.report("--html", self.path("page.html"),
                                                 self.path("nothing"), status=3))
        self.assertFalse(os.path.exists(self.path("page.html")))
        self.assertIn(b"--html=FILE", self.report("--help"))


if __name__ == "__main__":
    harness.main()
