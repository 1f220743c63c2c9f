"""Steps of a pipeline: a command with its inputs and outputs, published once; and the steps that score in mini-batches."""
