"""The protocol of an instance: which shard to take, what to do when scoring fails, when to stop.

A single-threaded state machine. It is given its clock, its ledger and its slots, and does nothing else with the
world, so that a simulator can run this very code under any schedule of delays, losses and crashes.
"""
