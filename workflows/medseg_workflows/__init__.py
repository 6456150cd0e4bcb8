"""Batches of studies for medseg: plan, run and collect whole folders."""
