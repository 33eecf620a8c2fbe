"""The whole regime as one recipe: schema, plan, run, and what can be asked of a run."""
