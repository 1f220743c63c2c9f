"""Examples and schemas of bodies for the OpenAPI document: bodies are read by the loaders of documents, not by FastAPI."""

from __future__ import annotations

from typing import Any

ENDPOINT = {
    "description": "Delays of flights",
    "tags": {"team": "flights"},
    "defaults": {"deployment_name": "main"},
}
DEPLOYMENT = {
    "type": "model",
    "model": "models:/flights/3",
    "resources": {"instance_count": 2},
    "settings": {"mini_batch_size": 10, "error_threshold": "5%"},
}
COMPUTE = {"type": "kubernetes", "namespace": "batch", "image": "registry.example/batch-worker:0.1.0"}
DATASTORE = {"type": "uri", "uri": "s3://lake/raw", "conn_id": "lake", "secret_name": "lake"}
DATA = {"type": "uri_folder", "path": "azureml://datastores/lake/paths/heart/2024-01-31"}
INVOCATION = {
    "properties": {
        "InputData": {"flights": {"JobInputType": "UriFolder", "Uri": "s3://lake/flights/2024-01-01"}},
        "OutputData": {"score": {"JobOutputType": "UriFile", "Uri": "s3://lake/predictions/2024-01-01"}},
        "miniBatchSize": 20,
        "retrySettings": {"maxRetries": 2, "timeout": "PT300S"},
        "compute": {"instanceCount": 4},
    }
}
JOB = {
    "id": "/endpoints/flights/jobs/20240101T000000-1a2b3c4d",
    "type": "batchJob",
    "name": "20240101T000000-1a2b3c4d",
    "endpoint": "flights",
    "deployment": "main",
    "state": "Running",
    "invoker": "ann",
    "input": "s3://lake/flights/2024-01-01",
    "created": "2024-01-01T00:00:00Z",
    "counts": {"listed": 120, "succeeded": 80, "failed": 1, "rows": 80000, "shards": 12, "shards_done": 8},
    "dag_id": "batch_endpoint.flights",
    "run_id": "20240101T000000-1a2b3c4d",
    "properties": {"status": "Running"},
}
_OBJECT: dict[str, Any] = {"type": "object"}
_FIXED_FIELDS = {"type": "object", "additionalProperties": True}


def document_body(example: dict[str, Any]) -> dict[str, Any]:
    """Return how a route says that its body is a document, as JSON or as YAML."""
    content = {"schema": _FIXED_FIELDS, "example": example}
    return {
        "requestBody": {
            "required": True,
            "description": "The document, with the fields that its YAML file has; the names in the path may be left out of it.",
            "content": {"application/json": content, "application/yaml": content},
        }
    }


_TYPES = ["UriFolder", "UriFile", "MLFlowModel", "CustomModel"]
_INPUTS = {
    **_OBJECT,
    "description": "By name: data with `Uri`, or a `Literal` with `Value`. A model takes one data input, under any name.",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "JobInputType": {"enum": [*_TYPES, "Literal"]},
            "Uri": {"type": "string", "minLength": 1},
            "Value": {"description": "Of a Literal."},
        },
    },
}
_OUTPUTS = {
    **_OBJECT,
    "description": "By name: where outputs go. Of a model one, under any name.",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "JobOutputType": {"enum": _TYPES},
            "Uri": {"type": "string", "minLength": 1},
            "AssetName": {"type": "string", "description": "Ours. Data asset that the output becomes a version of."},
            "AssetVersion": {"type": "string", "description": "Ours. Of that asset; the next number by default."},
        },
    },
}


INVOCATION_BODY = {
    "requestBody": {
        "required": True,
        "description": "Azure ML's body; names of fields in any case.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["properties"],
                    "properties": {
                        "properties": {
                            "type": "object",
                            "properties": {
                                "InputData": _INPUTS,
                                "OutputData": _OUTPUTS,
                                "dataset": {
                                    **_OBJECT,
                                    "description": "The older form: `dataInputType: DataUrl` and `path`.",
                                },
                                "replayOf": {
                                    "type": "string",
                                    "description": "Ours, instead of `InputData`: a completed job whose dead letters are scored.",
                                },
                                "miniBatchSize": {"type": "integer", "minimum": 1},
                                "errorThreshold": {"anyOf": [{"type": "integer", "minimum": -1}, {"type": "string"}]},
                                "outputFileName": {"type": "string"},
                                "retrySettings": {
                                    "type": "object",
                                    "properties": {
                                        "maxRetries": {"type": "integer", "minimum": 0, "maximum": 100},
                                        "timeout": {"description": "Seconds, or a duration such as PT300S."},
                                    },
                                },
                                "compute": {
                                    "type": "object",
                                    "properties": {"instanceCount": {"type": "integer", "minimum": 1, "maximum": 1000}},
                                },
                                "name": {"type": "string", "description": "Name of the job."},
                            },
                        }
                    },
                },
                "example": INVOCATION,
            }
        },
    }
}
APPLY_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["document"],
                    "properties": {
                        "document": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                            "description": "YAML documents. The file name of a part is its path in the upload.",
                        },
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                            "description": "The files that documents name by relative paths; again by path.",
                        },
                        "set_default": {
                            "type": "boolean",
                            "description": "Make the (one) deployment the default of its endpoint.",
                        },
                    },
                }
            }
        },
    }
}
