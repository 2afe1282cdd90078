"""Click models of other people's logs: tables of columns in, figures of four methods out.

Knows nothing of this server's requests and ads; a table tells by its columns' roles what they are.
"""
