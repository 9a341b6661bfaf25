"""One loaded version applied to one decoded radiograph: plan, batch, postprocess, OOD score."""
