"""Fetches one commit by git and packs it. Runs in a container of its own, with Debian's python3-minimal."""
