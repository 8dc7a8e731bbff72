"""Connection tests: a short session that shows whether a login works, beside the live one."""
