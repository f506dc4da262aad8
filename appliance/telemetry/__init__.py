"""What the appliance says about itself: metrics and logs, never prompts or answers."""
