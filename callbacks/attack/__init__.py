"""The attack stage: attacks, their controls, the ledger, and what is told by depth."""
