"""Checks of energies, objectives, proposals, designs and Markov steps, yours as ours."""
