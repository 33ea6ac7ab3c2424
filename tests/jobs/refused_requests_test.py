"""A request that the model cannot take ends as an error line; the others run, and the code is 1.  Run: refused_requests_test.py build/pikv"""
import json
import pathlib
import sys
import tempfile
import unittest

from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
POSITIONS = 8192   # of the embedded model
REQUESTS = [
    {"id": "good", "prompt": "Once upon a time", "max_new_tokens": 4},
    {"id": "stranger", "prompt_ids": [65, 256], "max_new_tokens": 4},
    {"id": "negative", "prompt_ids": [-1], "max_new_tokens": 4},
    {"id": "long", "prompt_ids": [65] * POSITIONS, "max_new_tokens": 1},
    {"id": "empty", "prompt": "", "max_new_tokens": 4},
    {"id": "good too", "prompt_ids": [65, 66, 67], "max_new_tokens": 4},
]


class RefusedRequests(unittest.TestCase):
    def results(self, ranks):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "in.jsonl").write_text("".join(json.dumps(request) + "\n" for request in REQUESTS))
            done = run(PIKV, ["generate", "--prompts", "in.jsonl", "--output", "out.jsonl"], ranks, folder)
            self.assertEqual((done.code, set(done.codes.values())), (1, {1}), done.stderr)
            return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]

    def test_end_as_error_lines_and_the_others_run(self):
        for ranks in (1, 3):
            with self.subTest(ranks=ranks):
                results = self.results(ranks)
                self.assertEqual([result["id"] for result in results], [request["id"] for request in REQUESTS])
                for result in results:
                    good = result["id"].startswith("good")
                    self.assertEqual(result["finish"] == "error", not good, result)
                    self.assertEqual(len(result["tokens"]), 4 if good else 0)
                    self.assertEqual("error" in result, not good)


if __name__ == "__main__":
    unittest.main()
