"""Visual Dialogue: scenes, simulated people, a learned answerer, a learned guesser, the task and VisDial files."""
