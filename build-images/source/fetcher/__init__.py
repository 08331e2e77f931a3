"""Fetches one commit by git and packs it, or files over HTTP. Runs in a container of its own, with Debian's Python."""
