"""agentctl: declare a system of agents in YAML; check it, run it, replay it."""
