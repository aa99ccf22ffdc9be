"""Programs that use hf_assets as its users do."""
