"""Validates Kubernetes objects, a list of them as JSON on standard input, against the schemas of
the version that the first argument names; says what is wrong with each, and what has no schema."""

import json
import sys

import kubernetes_validate

version = sys.argv[1]
for thing in json.load(sys.stdin):
    name = f"{thing['kind']} {thing['metadata']['name']}"
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(str(step) for step in error.path)
        print(f"{name}: {place}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError:
        print(f"{name}: no schema")
