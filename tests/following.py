from personalization.bootstrap import House


def follow(house: House) -> None:
    """Until everything in the log has been projected and learned."""
    while house.followers.step():
        pass
