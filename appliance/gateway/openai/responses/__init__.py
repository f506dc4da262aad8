"""`POST /v1/responses`: OpenAI's newer way to ask, without anything being kept between two requests."""
