"""The recipe, the one loop, and what it needs: optimisers, schedules, averages, the run folder."""
