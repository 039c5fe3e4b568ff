"""Operations of neural networks, each one primitive: what layers are made of."""
