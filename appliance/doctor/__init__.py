"""Is this machine fit for the appliance, and what may be told of one that is in trouble?"""
