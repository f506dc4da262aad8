"""The values of the Helm chart, as models: its schema, its reference and the check of a file are made of them."""
