"""The web page: NiceGUI on the same app as the API, with its own style sheet and nothing from outside."""
