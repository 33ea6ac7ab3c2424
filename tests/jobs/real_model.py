"""Where the real model and the packages that jobs/fetch_model.py brought lie, if it ran: PIKV_FETCHED_MODELS, or build/models of the source tree."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MODELS = pathlib.Path(os.environ.get("PIKV_FETCHED_MODELS") or REPOSITORY / "build/models")
DENSE = MODELS / "smollm2"
DATA = REPOSITORY / "tests/data/smollm2"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(MODELS / f"cache/python{sys.version_info.major}.{sys.version_info.minor}"), "PYTHONDONTWRITEBYTECODE": "1"}

HAS_TOKENIZERS = subprocess.run([sys.executable, "-c", "import tokenizers"], env=ENVIRONMENT, capture_output=True, check=False).returncode == 0
needs_tokenizers = unittest.skipUnless(HAS_TOKENIZERS, "the package tokenizers is not installed; jobs/fetch_model.py brings it")
needs_model = unittest.skipUnless((DENSE / "tokenizer.json").is_file(), f"no model in {DENSE}; jobs/fetch_model.py makes it, or set PIKV_FETCHED_MODELS to its parent")


def script(name, *arguments, text="", environment=None):
    """Runs jobs/NAME."""
    return subprocess.run([sys.executable, REPOSITORY / "jobs" / name, *map(str, arguments)], input=text.encode(), capture_output=True,
                          env=environment or ENVIRONMENT, check=False)


def tokenizer_cases():
    return json.loads((DATA / "tokenizer_cases.json").read_text())


def run_tests():
    """Ends the process: 77 (skipped, to CTest) if a test was left out and none failed."""
    result = unittest.main(exit=False).result
    for reason in {reason for _, reason in result.skipped}:
        print("skipped:", reason)
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)
