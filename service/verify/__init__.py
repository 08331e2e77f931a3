"""What `kiln verify` checks: pure over bytes and public keys, so that it holds wherever those came from.

`docs/provenance.md` says in which order, and what each reason means.
"""
