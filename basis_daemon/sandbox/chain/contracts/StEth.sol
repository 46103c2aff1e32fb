// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import "./ShareToken.sol";

interface IQueue {
    function prefinalize(uint256[] calldata batches, uint256 maxShareRate) external view returns (uint256, uint256);
    function finalize(uint256 lastRequestId, uint256 maxShareRate) external payable;
}

/// Stands in for Lido: official names and meaning of staking, share rebasing, stake limit and pauses. No validators:
/// the owner says what the pool is worth.
contract StEth is ShareToken {
    address public immutable owner;
    IQueue public queue;
    bool public isStopped;
    bool public isStakingPaused;
    uint256 private _pooled;
    uint256 private _maxLimit;
    uint256 private _limitPerBlock;
    uint256 private _lastLimit;
    uint256 private _lastLimitBlock;

    event StakingPaused();
    event StakingResumed();
    event StakingLimitSet(uint256 maxStakeLimit, uint256 stakeLimitIncreasePerBlock);
    event StakingLimitRemoved();
    event Stopped();
    event Resumed();
    event Submitted(address indexed sender, uint256 amount, address referral);
    event SharesBurnt(
        address indexed account, uint256 preRebaseTokenAmount, uint256 postRebaseTokenAmount, uint256 sharesAmount
    );
    event TokenRebased(
        uint256 indexed reportTimestamp,
        uint256 timeElapsed,
        uint256 preTotalShares,
        uint256 preTotalEther,
        uint256 postTotalShares,
        uint256 postTotalEther,
        uint256 sharesMintedAsFees
    );

    modifier onlyOwner() {
        require(msg.sender == owner, "APP_AUTH_FAILED");
        _;
    }

    constructor() ShareToken("Liquid staked Ether 2.0", "stETH") {
        owner = msg.sender;
    }

    receive() external payable {
        _submit(address(0));
    }

    function submit(address referral) external payable returns (uint256) {
        return _submit(referral);
    }

    function sharesOf(address account) external view returns (uint256) {
        return _shares[account];
    }

    function getTotalShares() external view returns (uint256) {
        return _totalShares;
    }

    function getTotalPooledEther() external view returns (uint256) {
        return _pooled;
    }

    function getSharesByPooledEth(uint256 amount) external view returns (uint256) {
        return _sharesFor(amount);
    }

    function getPooledEthByShares(uint256 shares) external view returns (uint256) {
        return _etherOf(shares);
    }

    function getBufferedEther() external view returns (uint256) {
        return address(this).balance;
    }

    function transferShares(address recipient, uint256 shares) external returns (uint256 amount) {
        amount = _etherOf(shares);
        _move(msg.sender, recipient, shares, amount);
    }

    function transferSharesFrom(address sender, address recipient, uint256 shares) external returns (uint256 amount) {
        amount = _etherOf(shares);
        _spend(sender, amount);
        _move(sender, recipient, shares, amount);
    }

    /// What may be staked in this block; everything without a limit, nothing while staking is paused.
    function getCurrentStakeLimit() public view returns (uint256) {
        if (isStakingPaused || isStopped) return 0;
        if (_maxLimit == 0) return type(uint256).max;
        uint256 grown = _lastLimit + (block.number - _lastLimitBlock) * _limitPerBlock;
        return grown < _maxLimit ? grown : _maxLimit;
    }

    function getStakeLimitFullInfo()
        external
        view
        returns (
            bool isStakingPaused_,
            bool isStakingLimitSet,
            uint256 currentStakeLimit,
            uint256 maxStakeLimit,
            uint256 maxStakeLimitGrowthBlocks,
            uint256 prevStakeLimit,
            uint256 prevStakeBlockNumber
        )
    {
        maxStakeLimitGrowthBlocks = _limitPerBlock == 0 ? 0 : _maxLimit / _limitPerBlock;
        (isStakingPaused_, isStakingLimitSet) = (isStakingPaused, _maxLimit != 0);
        (currentStakeLimit, maxStakeLimit) = (getCurrentStakeLimit(), _maxLimit);
        (prevStakeLimit, prevStakeBlockNumber) = (_lastLimit, _lastLimitBlock);
    }

    function pauseStaking() external onlyOwner {
        isStakingPaused = true;
        emit StakingPaused();
    }

    function resumeStaking() external onlyOwner {
        isStakingPaused = false;
        emit StakingResumed();
    }

    function setStakingLimit(uint256 maxStakeLimit, uint256 stakeLimitIncreasePerBlock) external onlyOwner {
        require(maxStakeLimit != 0, "ZERO_MAX_STAKE_LIMIT");
        (_maxLimit, _limitPerBlock) = (maxStakeLimit, stakeLimitIncreasePerBlock);
        (_lastLimit, _lastLimitBlock) = (maxStakeLimit, block.number);
        emit StakingLimitSet(maxStakeLimit, stakeLimitIncreasePerBlock);
    }

    function removeStakingLimit() external onlyOwner {
        _maxLimit = 0;
        emit StakingLimitRemoved();
    }

    function stop() external onlyOwner {
        (isStopped, isStakingPaused) = (true, true);
        emit Stopped();
    }

    function resume() external onlyOwner {
        (isStopped, isStakingPaused) = (false, false);
        emit Resumed();
    }

    /// Ether for withdrawals comes from validators there; here the owner brings it.
    function receiveWithdrawals() external payable {}

    function setQueue(IQueue queue_) external onlyOwner {
        queue = queue_;
    }

    /// The oracle's report: from now on the shares stand for `postTotalEther`, more or less than before.
    function report(uint256 postTotalEther, uint256 timeElapsed) external onlyOwner {
        emit TokenRebased(block.timestamp, timeElapsed, _totalShares, _pooled, _totalShares, postTotalEther, 0);
        _pooled = postTotalEther;
    }

    /// Pays the queue for all requests up to the given one and burns the shares that they had brought.
    function finalizeWithdrawals(uint256 lastRequestId, uint256 maxShareRate) external onlyOwner {
        uint256[] memory batches = new uint256[](1);
        batches[0] = lastRequestId;
        (uint256 etherToLock, uint256 sharesToBurn) = queue.prefinalize(batches, maxShareRate);
        uint256 before = _etherOf(sharesToBurn);
        _burn(address(queue), sharesToBurn);
        _pooled -= etherToLock;
        emit SharesBurnt(address(queue), before, _etherOf(sharesToBurn), sharesToBurn);
        queue.finalize{value: etherToLock}(lastRequestId, maxShareRate);
    }

    function _submit(address referral) private returns (uint256 shares) {
        require(msg.value != 0, "ZERO_DEPOSIT");
        require(!isStakingPaused, "STAKING_PAUSED");
        uint256 limit = getCurrentStakeLimit();
        require(msg.value <= limit, "STAKE_LIMIT");
        if (_maxLimit != 0) (_lastLimit, _lastLimitBlock) = (limit - msg.value, block.number);
        shares = _sharesFor(msg.value);
        _mint(msg.sender, shares);
        _pooled += msg.value;
        emit Submitted(msg.sender, msg.value, referral);
        _announce(msg.sender, shares);
    }

    function _pooledEther() internal view override returns (uint256) {
        return _pooled;
    }

    function _requireRunning() internal view override {
        require(!isStopped, "CONTRACT_IS_STOPPED");
    }
}
