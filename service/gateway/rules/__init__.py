"""Rules: facts about an instance, and the rule that takes it or the reason why none does."""
