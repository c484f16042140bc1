"""What a metadata service and a container-credentials endpoint have to be, asked of any endpoint from outside.

Needs the standard library alone, and talks to nothing but the endpoint that it is given.
"""
