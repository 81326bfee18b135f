"""Running Layshaft and looking at it: command, composition root, local servers, stand-ins."""
