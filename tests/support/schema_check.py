"""Validates YAML files against a JSON schema, independently of towpath.

schema_check.py SCHEMA FILE...   prints a line per file: `ok FILE`, `bad FILE: where: why`, or `unreadable FILE: why`.
"""
import json
import sys

import yaml
from jsonschema import Draft202012Validator


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema: no dates, no `on`, no base 60; keys are texts."""


Core.yaml_implicit_resolvers = {}
for tag, form, first in [
    ("bool", "^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", "^(?:[-+]?[0-9]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", "^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", "^(?:<<)$", "<"),
]:
    Core.add_implicit_resolver("tag:yaml.org,2002:" + tag, __import__("re").compile(form), list(first))


def texts(value):
    if isinstance(value, dict):
        return {str(key): texts(item) for key, item in value.items()}
    return [texts(item) for item in value] if isinstance(value, list) else value


def main(schema, files):
    with open(schema, encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name in files:
        try:
            with open(name, encoding="utf-8") as file:
                document = texts(yaml.load(file, Core))
        except yaml.YAMLError as error:
            print(f"unreadable {name}: {' '.join(str(error).split())}")
            continue
        error = next(iter(validator.iter_errors(document)), None)
        print(f"bad {name}: {error.json_path}: {error.message}" if error else f"ok {name}")


main(sys.argv[1], sys.argv[2:])
