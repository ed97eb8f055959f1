"""The page that runs a proved file in a browser, and who serves it: to a phone, or as a static site."""
