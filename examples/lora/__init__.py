"""A LoRA of Stable Diffusion, trained as diffusers' script does, from images or from a training set."""
