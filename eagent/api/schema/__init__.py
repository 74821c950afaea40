"""What answers hold, as JSON Schema, one file a family; `document` makes the OpenAPI document of a table of routes."""
