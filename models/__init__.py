"""The models that come with the appliance: catalog manifests and the starter models."""
