"""From a run folder to an answer: `serving.export` -> `serving.server` -> `serving.client`."""
