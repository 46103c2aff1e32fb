// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// A price in US dollars with eight decimals that its owner sets.
contract PriceFeed {
    address public immutable owner;
    string public description;
    uint8 public constant decimals = 8;
    int256 public latestAnswer;
    uint256 public latestTimestamp;
    uint256 public latestRound;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(string memory description_, int256 answer) {
        owner = msg.sender;
        description = description_;
        _set(answer);
    }

    function setAnswer(int256 answer) external {
        require(msg.sender == owner, "only the owner");
        _set(answer);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (uint80(latestRound), latestAnswer, latestTimestamp, latestTimestamp, uint80(latestRound));
    }

    function _set(int256 answer) private {
        latestAnswer = answer;
        latestTimestamp = block.timestamp;
        emit AnswerUpdated(answer, ++latestRound, block.timestamp);
    }
}

/// The price of a staking token: ETH/USD times what its issuer pays, times a factor (18 decimals) that the owner sets.
contract RatioFeed {
    address public immutable owner;
    PriceFeed public immutable base;
    address public immutable issuer;
    bytes4 public immutable rate;
    string public description;
    uint8 public constant decimals = 8;
    uint256 public factor = 1 ether;

    constructor(string memory description_, PriceFeed base_, address issuer_, bytes4 rate_) {
        owner = msg.sender;
        description = description_;
        base = base_;
        issuer = issuer_;
        rate = rate_;
    }

    function setFactor(uint256 factor_) external {
        require(msg.sender == owner, "only the owner");
        factor = factor_;
    }

    function latestAnswer() public view returns (int256) {
        (bool answered, bytes memory data) = issuer.staticcall(abi.encodeWithSelector(rate));
        require(answered, "no rate");
        uint256 ratio = abi.decode(data, (uint256)) * factor / 1 ether;
        return base.latestAnswer() * int256(ratio) / 1 ether;
    }

    function latestTimestamp() external view returns (uint256) {
        return base.latestTimestamp();
    }
}
