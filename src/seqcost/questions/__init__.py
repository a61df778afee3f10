"""The questions that a user asks, one per file; each returns a frozen answer made of Bills, records and rows.

count      what does it cost?                    explain   how is that number made?
fit        what fits in so much memory?
compare    which is cheaper, and from which length on?
claims     which of the claims that circulate are true here?
"""
