"""Goal: the program says which wolfSSL it runs on, and it is the one it was built for; the script
that builds the tuned one derives its source entries from any configuration of apt.

Method: what CMake was told, against what --version prints. Tables of apt's two styles, fed to the
script's own functions.
"""
import os
import re
import subprocess
import unittest

import harness

SCRIPT = os.path.join(harness.TREE, "tools", "build-wolfssl")


def cached(name):
    with open(os.path.join(harness.BUILD, "CMakeCache.txt"), encoding="utf-8") as f:
        found = re.search(rf"^{name}:\w+=(.*)$", f.read(), re.M)
    return found.group(1) if found else ""


def derived(function, text):
    """The lines that a function of the script makes of a file of apt's."""
    with open(SCRIPT, encoding="utf-8") as f:
        body = re.search(rf"^{function}\(\) {{\n.*?^}}\n", f.read(), re.M | re.S).group(0)
    done = subprocess.run(["bash", "-euc", f"{body}\n{function}"], input=text, text=True,
                          capture_output=True, check=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


class Version(harness.Case):
    def test_names_the_library_that_it_was_built_for(self):
        said = subprocess.run([harness.HOOKLINE, "--version"], capture_output=True, text=True,
                              check=True).stdout
        kind = "tuned" if cached("HOOKLINE_WOLFSSL") else "stock"
        self.assertRegex(said, rf"(?m)^TLS by wolfSSL \d+\.\d+\.\d+ {kind}, \S+ first\.$")
        if kind == "stock":
            self.assertIn("ChaCha20-Poly1305 first", said)
        elif " aes " in open("/proc/cpuinfo", encoding="ascii").read():
            self.assertIn("AES-GCM first", said)

    def test_a_run_says_the_same_first(self):
        said = subprocess.run([harness.HOOKLINE, "--version"], capture_output=True, text=True,
                              check=True).stdout
        library = re.search(r"TLS by (.*)\.$", said, re.M).group(1)
        with open(self.path("input"), "w", encoding="ascii") as f:
            f.write("no record\n")
        result = self.send(self.path("input"))
        self.assertRegex(result.lines[0], rf"^hookline \S+, TLS by {re.escape(library)}$")

    def test_the_tuned_library_is_inside_the_program(self):
        needed = subprocess.run(["ldd", harness.HOOKLINE], capture_output=True, text=True,
                                check=True).stdout
        self.assertEqual("libwolfssl" in needed, not cached("HOOKLINE_WOLFSSL"), needed)


class Sources(unittest.TestCase):
    def test_one_line_style(self):
        rows = [
            ("deb http://a.test/debian x main\n", ["deb-src http://a.test/debian x main"]),
            ("deb [arch=amd64 signed-by=/k.gpg] http://a.test x main contrib # why\n",
             ["deb-src [arch=amd64 signed-by=/k.gpg] http://a.test x main contrib # why"]),
            ("  deb\thttp://a.test x main\n", ["deb-src\thttp://a.test x main"]),
            ("deb http://a.test x main\ndeb-src http://a.test x main\n",
             ["deb-src http://a.test x main"]),
            ("# deb http://a.test x main\n#deb-src http://a.test x main\n\n", []),
            ("debug http://a.test x main\n", []),
            ("deb http://a.test x main", ["deb-src http://a.test x main"]),
        ]
        for text, wanted in rows:
            with self.subTest(text=text):
                self.assertEqual(derived("sources_of_list", text), wanted)

    def test_deb822_style(self):
        rows = [
            ("Types: deb\nURIs: http://a.test\nSuites: x\nComponents: main\n",
             ["Types: deb-src", "URIs: http://a.test", "Suites: x", "Components: main"]),
            ("types: deb deb-src\nURIs: http://a.test\nSuites: x\n",
             ["Types: deb-src", "URIs: http://a.test", "Suites: x"]),
            ("Types:\n deb\n deb-src\nURIs: http://a.test\n  http://b.test\nSuites: x\n",
             ["Types: deb-src", "URIs: http://a.test", "  http://b.test", "Suites: x"]),
            ("# Types: deb\nEnabled: no\nTypes: deb\nURIs: http://a.test\nSuites: x\n", []),
            ("Types: deb\nURIs: http://a.test\nSuites: x\nENABLED : False \n\n"
             "\n# b\nEnabled: yes\nTypes: deb\nURIs: http://b.test\n# in between\nSuites: y\n",
             ["Types: deb-src", "URIs: http://b.test", "Suites: y"]),
            ("Types: deb\nURIs: http://a.test\nSuites: x\nSigned-By:\n -----BEGIN-----\n .\n a:b\n",
             ["Types: deb-src", "URIs: http://a.test", "Suites: x", "Signed-By:",
              " -----BEGIN-----", " .", " a:b"]),
            ("X-Only: comment\n\n", []),
        ]
        for text, wanted in rows:
            with self.subTest(text=text):
                self.assertEqual(derived("sources_of_deb822", text), wanted)

    def test_usage(self):
        for arguments, status, says in ((["--help"], 0, "PREFIX"), (["--options"], 0, "aesni"),
                                        (["--nonsense"], 1, "--help"), (["a", "b"], 1, "one")):
            done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, status, done)
            self.assertIn(says, done.stdout + done.stderr)


if __name__ == "__main__":
    harness.main()
